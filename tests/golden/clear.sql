DELETE FROM schemahub.schemahub.trades_unified.branch_run_1 AS t
WHERE
  exchange IN ('BINANCE', 'COINBASE', 'KRAKEN', 'OKX')
