"""Control of telephone calls at the exchange: placing, transferring, holding."""
