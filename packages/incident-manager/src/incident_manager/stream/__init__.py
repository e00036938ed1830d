"""What happens, told to those who follow: changes of incidents from the database, circuits from this process."""
