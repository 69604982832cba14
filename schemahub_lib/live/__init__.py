"""What the venues show now: quotes and trades from their WebSocket feeds, and where they disagree."""
