"""What is done without the LLM services: plain rules, which need nobody. Pure."""
