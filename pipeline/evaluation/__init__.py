"""Protocols, metrics and reports. Core rooms, service, monitor and pages never import this."""
