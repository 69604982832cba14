"""A real HTTP server that behaves like the exchanges' public REST APIs.

It is an independent reading of the exchanges' documents: it shares no code with the connectors, so that a connector
that works here is right about the API and not merely consistent with itself. It models a market (`market`, `tape`) or
serves recorded responses (`recorded`).
"""

from schemahub_lib.simulator.server import Simulator, serve

__all__ = ["Simulator", "serve"]
