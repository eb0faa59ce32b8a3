"""The pages beside Explore: what stands on each (`content`) and the routes that its script asks."""
