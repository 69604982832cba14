"""What running SchemaHub costs: dated prices and figures as data, formulas that show themselves, no I/O but those."""
