"""Routes and requests for the tests of routing."""

from gateway.model.route import Api, Route
from gateway.proxy.explain import exchange_for
from gateway.proxy.router import Entry, Router


def route(name, *paths, priority=0, enabled=True, api=None, versions=(), **match):
    if paths:
        match["paths"] = paths
    return Route.model_validate({"name": name, "match": match, "priority": priority, "enabled": enabled, "api": api, "versions": versions})


def entry(made, apis=()):
    return Entry(made, {api.name: api for api in apis}.get(made.api), made.name)


def router(*routes, apis=()):
    return Router.build(entry(made, apis) for made in routes)


def api(name, **settings):
    return Api.model_validate({"name": name, **settings})


def request(url, method="GET", headers=(), client="192.0.2.1"):
    return exchange_for(method, url, headers, client)


def found(made, url, method="GET", headers=(), client="192.0.2.1"):
    return made.find(request(url, method, headers, client))
