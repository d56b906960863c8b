"""Steps over the whole corpus that order it, divide it or look at how its numbers are spread.

- rearrangement   what a step is that writes documents into other shards
- scatter         documents spread over files on disk, by a number that each has
- order           shuffle, reshard, repeat
- mixture         so much of each source: caps, upsampling, nested sizes
- parts           discrete and range partition, group
- group_filter    one document of each group
- scores          percentile, reservoir, count
"""
