"""The proof by killing: the real platform under `kill -9`, stopped processes and a database that goes away."""
