"""Where documents come from: files of documents, web pages, PDFs, source code, the Hub, buckets.

- location       files at a path, a URL or in a repository of the Hub, and copies of them here
- reading        which file is read how, and the units of work that files are cut into
- web            WARC archives and HTML pages
- pdf            PDFs, by pypdfium2 or olmocr
- source_code    trees of source code: language and licence
- table          documents to the tables of `schema.DOCUMENTS`
- columns        a unit to tables; the texts of Parquet stay in their column
"""
