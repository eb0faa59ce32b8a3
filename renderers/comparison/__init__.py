"""What views are to one variant, comparisons are to several: numbers of a cohort and how they are drawn."""
