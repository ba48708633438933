"""The comparison: from reports/*.csv and *.json to what people read.

results      the tables, read and checked
summary      the findings, and the limits
markdown     comparison.md and README.md's block; html: comparison.html, by page.html.jinja
figures      every figure of the project
published    the notebooks' figures against ours
formatting   numbers and variants as the reports write them
"""
