"""Django's backend for PostgreSQL: a cheaper look at connections that have waited; servers that only read are away."""
