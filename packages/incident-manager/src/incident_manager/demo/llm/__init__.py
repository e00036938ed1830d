"""Small servers that speak the contracts of the four LLM-ops services, with switches for faults.

They judge by simple rules and always the same way, so that a test or a demonstration knows what to expect.
"""
