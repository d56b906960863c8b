"""What a curation run did to its documents: the data of its report, and one HTML page of it.

- data      report.json as typed values
- page      the page that `render` makes of them
- sections  its sections
- charts    histograms as inline SVG
- elements  bars, tables, legends
- numbers   numbers for people
- style     the page's CSS, light and dark
"""

from olmoflow.curate.report.data import ReportData
from olmoflow.curate.report.page import render, write_page

__all__ = ["ReportData", "render", "write_page"]
