"""The steps that make the centre's database and bring it up to date."""
