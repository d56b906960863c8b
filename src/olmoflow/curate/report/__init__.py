"""What a curation run did to its documents: the data of its report, and one HTML page of it.

- data      report.json as typed values
- page      the page that `render` makes of them
- charts    bars and histograms as HTML and inline SVG
- numbers   numbers for people
- style     the page's CSS, light and dark
"""
