"""The sentences of which support tickets are made, by topic. Words in braces stand for a choice."""

TOPICS = [
    (
        "billing",
        [
            "I was charged twice for invoice {number}.",
            "The invoice for {month} shows the wrong tax number.",
            "My {card} was declined although there is enough money on it.",
            "Please change the billing address on my {plan} plan.",
            "Why did the price of the {plan} plan go up in {month}?",
            "I cannot download the receipt for {month}.",
            "We need a purchase order number on every invoice.",
        ],
    ),
    (
        "login",
        [
            "I cannot log in with my {device}.",
            "The password reset mail never arrives.",
            "My account is locked after three attempts.",
            "The code from the authenticator app is rejected.",
            "Single sign-on sends me back to the login page.",
            "I lost my phone and cannot confirm the second factor.",
            "It says that my session has expired every {minutes} minutes.",
        ],
    ),
    (
        "delivery",
        [
            "My parcel {number} has not arrived.",
            "The tracking page has shown the same place since {day}.",
            "The courier left the package at the wrong door.",
            "Can I change the delivery address of order {number}?",
            "The {product} arrived {day} but the box was empty.",
            "Shipping was promised for {day} and nothing came.",
            "Which carrier delivers to {city}?",
        ],
    ),
    (
        "returns",
        [
            "I would like to send the {product} back.",
            "The refund for order {number} is still missing.",
            "The {product} is broken and I want my money back.",
            "How do I print the return label?",
            "The size of the {product} is wrong, can I exchange it?",
            "You received my return on {day} but refunded only half.",
            "Is the {product} still under warranty?",
        ],
    ),
    (
        "crash",
        [
            "The app crashes when I open the {page} page.",
            "Since the update the {page} page stays blank on my {device}.",
            "I get error {number} when I save.",
            "Uploading a file larger than {minutes} megabytes fails.",
            "The search returns nothing in {browser}.",
            "Everything is very slow in {browser} since {day}.",
            "The export to a spreadsheet stops at half of the rows.",
        ],
    ),
    (
        "request",
        [
            "It would be great to have a dark theme.",
            "Please add a filter by date to the {page} page.",
            "Could you support {browser} as well?",
            "We would love an integration with our calendar.",
            "Is there an API for the {page} page?",
            "Will there be a version for my {device}?",
            "A keyboard shortcut for the {page} page would save us hours.",
        ],
    ),
]
GREETINGS = ["Hello,", "Hi,", "Good morning,", "Dear team,", "", "", "", ""]
DETAILS = [
    "This happens since {day}.",
    "I live in {city}.",
    "I have waited for {minutes} minutes on the phone.",
    "My colleague in {city} has the same question.",
    "We are on the {plan} plan.",
    "I already wrote to you in {month}, number {number}.",
]
ENDINGS = [
    "Thanks!",
    "Please answer soon.",
    "Thank you for your help.",
    "Best regards",
    "This is urgent.",
    "I am very unhappy with this.",
]
SLOTS = {
    "month": ["January", "March", "May", "July", "August", "September", "October"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "yesterday", "last week"],
    "card": ["credit card", "debit card", "business card", "virtual card"],
    "plan": ["starter", "team", "business", "enterprise"],
    "device": ["laptop", "tablet", "phone", "work computer", "television"],
    "product": ["headphones", "jacket", "coffee machine", "lamp", "backpack", "keyboard", "shoes"],
    "city": ["Leipzig", "Lyon", "Utrecht", "Graz", "Ghent", "Sevilla", "Turin", "Gdansk"],
    "page": ["settings", "dashboard", "orders", "reports", "profile", "billing"],
    "browser": ["Firefox", "Chrome", "Safari", "Edge"],
    "minutes": ["5", "10", "20", "45"],
}
