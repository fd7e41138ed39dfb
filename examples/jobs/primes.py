"""Work for a processor. A function for other processes is in a module, to be found by its name."""


def count(begin, end):
    """How many primes there are from begin up to, but without, end."""
    return sum(is_prime(number) for number in range(max(begin, 2), end))


def is_prime(number):
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))
