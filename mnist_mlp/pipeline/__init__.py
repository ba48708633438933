"""All that knows DVC.

stage           a stage's main, run: command line, errors as lines, alone, ended with its dvc
warm_client     hands a stage to the warm process, which has imported TensorFlow; warm_server: that process
committed       the candidate against the committed one, and the way back
leftovers       models of variants that are no more, removed
inputs          what a running stage depends on, checked at its end
digests         a file or folder, digested by DVC
lockfile        what dvc.lock vouches for
lock_entries    dvc.lock as the texts of its entries, for those that come from other machines
experiments     DVC's experiments, as git holds them
archive         files as a tar in memory
git             git, on the repository of the current folder
environment     the user's environment, settled where a stage or a command begins
plots_page      the page that `dvc plots` fills
"""
