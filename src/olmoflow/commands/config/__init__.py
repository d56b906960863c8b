"""What a composed config says: which recipe, how long a run is, which object a node becomes."""
