"""All that knows Dask: the pipeline on several cores or machines. docs/scaling.md tells how it works.

scheduler      gives out the stages that are due, takes back what they made
connection     the Dask cluster, checked before use
plan           what is due, as DVC sees it; workspace: the files as git objects
worker         checkouts on a Dask worker; stage_runner: the process that runs DVC in one
"""
