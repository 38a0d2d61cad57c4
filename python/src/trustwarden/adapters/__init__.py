"""Agent frameworks: an identity for each agent and sub-agent, and the decision and the ledger around each tool call.

One module for each framework, imported on its own; this package imports none of them.
"""
