"""What the trained variants predict, as tables and statistics.

predictions   a variant's predictions on the test images, read and checked
tables        results, confusions, calibration, hardest images, the headline, the champion
statistics    accuracies and the two sources of chance in them: seeds and images
comparisons   intervals, ranks, all pairs, the candidate's duels
effects       what a technique, an activation or a penalty does over a grid
"""
