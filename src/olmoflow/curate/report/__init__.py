"""What a curation run did to its documents: the data of its report, and one HTML page of it."""
