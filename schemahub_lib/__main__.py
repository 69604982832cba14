from schemahub_lib.cli import run_and_exit

run_and_exit()
