"""Headers by which a call shows that it came through a proxy."""

from __future__ import annotations

PROXIES = (
    "forwarded", "via", "x-forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port",
    "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-server", "x-forwarded-ssl", "x-forwarded-uri",
    "x-forwarded-prefix", "x-forwarded-client-cert", "x-original-forwarded-for", "x-original-host",
    "x-original-url", "x-original-uri", "x-proxyuser-ip", "x-proxy-id", "x-real-ip", "x-real-host",
    "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr", "x-scheme",
    "x-envoy-external-address", "x-envoy-peer-metadata", "x-appengine-user-ip", "x-azure-clientip",
    "x-azure-socketip", "x-arr-ssl", "x-goog-authenticated-user-email", "cf-connecting-ip", "cf-ray",
    "cdn-loop", "true-client-ip", "fastly-client-ip", "fly-client-ip", "client-ip", "x-nginx-proxy",
    "front-end-https", "proxy-connection", "ngrok-trace-id", "tailscale-user-login", "max-forwards",
)  # fmt: skip
"""Headers that a proxy adds and a browser does not. A proxy that adds none cannot be distinguished from a browser: the
README says to put none in front."""
