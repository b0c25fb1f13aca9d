"""A pilot in a box: a city, four organisations, four services, and any number of people with homes of their own."""
