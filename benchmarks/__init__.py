"""How much a proxied request costs, beside nginx, HAProxy, Envoy, Caddy and Express Gateway on the same machine in the same minutes."""
