"""Pure rules of the product: no asyncio, no Pipecat, no clock (`now` is an argument)."""
