"""Importers: usage that went around the gateway, as usage events, one module per source."""
