output "network" {
  description = "The VPC and its subnets, as the variable `network` would tell of an existing one."
  value = {
    vpc_id           = aws_vpc.this.id
    subnet_ids       = tolist(aws_subnet.public[*].id)
    assign_public_ip = true
  }
}
