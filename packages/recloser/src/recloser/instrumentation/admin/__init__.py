"""The admin socket: how an operator sees and controls the breakers of a running process."""
