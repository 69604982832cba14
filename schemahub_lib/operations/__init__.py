"""How the lake is doing, from its own tables: panels as data, each with the SQL behind it, and a report of them all."""
