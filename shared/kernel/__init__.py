"""The words that everybody uses: units, regions, grades, clock, errors. Standard library only."""
