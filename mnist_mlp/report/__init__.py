"""The comparison: from reports/*.csv and *.json to what people read.

results      the tables, read and checked
summary      the findings, and the limits
markdown     comparison.md; html: comparison.html, by page.html.jinja; terminal: what the terminal says
documents    what stands in README.md and docs/results.md; lessons: in docs/lessons.md
figures      every figure of the project
published    the notebooks' figures against ours
formatting   numbers and variants as the reports write them
"""
