# Empty: the key is put in by hand, so that it is in no state file. See README.md.
resource "aws_secretsmanager_secret" "exchange" {
  # checkov:skip=CKV2_AWS_57:Exchanges hand out API keys on their web pages only, so nothing here could rotate them
  for_each = var.exchanges_with_keys

  name                    = "${var.name}/${each.value}"
  description             = "API key of ${each.value}: a JSON object with key, secret and passphrase"
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.destroyable ? 0 : 30
}
