"""Recipes: complete jobs in one YAML file, the stages they run and the report they end with."""
