"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields."""
