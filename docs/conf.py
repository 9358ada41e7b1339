from importlib import metadata

project = "gateway"
author = "The gateway's contributors"
copyright = "The gateway's contributors"
try:
    release = metadata.version("gateway")
except metadata.PackageNotFoundError:  # built from a tree that is not installed
    release = "unreleased"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "changes"]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"

html_theme = "furo"
html_title = "gateway"
html_static_path: list[str] = []
html_theme_options = {"navigation_with_keys": True}
