import sys

from schemahub_lib.cli import main

sys.exit(main())
