"""Parts of make.py: three worlds (fraud, churn, tickets) and what they share."""
