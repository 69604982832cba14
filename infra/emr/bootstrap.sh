#!/bin/bash
# A bootstrap action: Python 3.11 and the library's modules on every node. Argument: the bucket of the artifacts.
set -euo pipefail
sudo dnf install -y -q python3.11 python3.11-pip
# Spark's own Python side comes with the cluster, and must be the cluster's.
aws s3 cp "s3://$1/requirements.txt" - | grep -v -E '^(pyspark|py4j)==' > /tmp/requirements.txt
sudo python3.11 -m pip install -q -r /tmp/requirements.txt
