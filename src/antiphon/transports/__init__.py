"""Ways in: a socket and a codec make a Pipecat transport."""
