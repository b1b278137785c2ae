"""What is said in the accuracy benchmark: held-out sentences, and sentences for tuning.

Nothing in the server was tuned on the held-out ones. Tuning uses random sentences of the templates
and its own out-of-domain list.
"""

IN_TEMPLATE = """
what is in my cart
what do i have in my cart right now
show me my cart please
can you read my cart
how many items are in the basket
what's the total so far
how much is everything
is my cart empty
add two blue mugs to my cart
put a desk lamp in my basket please
i would like three green notebooks
can i have a steel kettle
could you please add a wooden spoon to my cart
i'd like a coffee grinder please
order five water bottles
give me another fountain pen
add a couple of red mugs
i want to buy a wool blanket
let me get four vanilla candles
two canvas backpacks please
add an alarm clock
i need a dozen black notebooks
add something to my cart
i mean the floor lamp
remove the alarm clock from my cart
take out the leather wallet please
delete two red mugs from the basket
i don't want the feather pillow anymore
clear my cart
remove everything from my cart please
empty the basket
place the order
i want to place my order please
can you submit the order now
check out
i'm ready to pay
order everything please
where is my order
what is the status of my last order
track my order please
where is order number one zero zero two three
has my order shipped yet
check the status of order one zero zero four five
when will my last order arrive
what are my recent orders
list my orders please
cancel my last order
i'd like to cancel an order
cancel order number one zero zero one eight
what do you sell
what products do you have
show me your products
do you have anything for the garden
show me kitchen items
what travel items do you have
how much is the desk lamp
what does a folding umbrella cost
do you have any garden gloves in stock
tell me about the watering can
are there tomato seeds
can i speak to a human
transfer me to an operator please
help me please
what can i say
repeat that please
sorry i didn't hear that
hello there
thank you very much
goodbye
that's all thank you
yes
yes please
yes go ahead
no thanks
no never mind
don't do that
""".strip().splitlines()
"""Sentences that callers of the shop may say."""

OUT_OF_DOMAIN = """
the train to the airport leaves at half past six
my sister is learning to play the violin
it has been raining since monday morning
who won the football game last night
we should paint the fence before winter comes
turn on the lights in the living room
what time is it in tokyo
the doctor told him to drink more water
play some jazz music in the bedroom
i forgot my umbrella on the bus yesterday
there is a dog barking outside the house
set a timer for ten minutes
could you tell me a funny story
the committee postponed the vote until thursday
how far is the moon from the earth
she closed the window because of the wind
book a table for four at seven o'clock
is there a pharmacy near the station
my phone battery is almost dead
the weather in the mountains was lovely last summer
let us meet at the library after lunch
he drives a truck for a living
what is the capital of australia
please call my mother
i think the movie starts at nine
banana
maybe later tonight
good luck with your exam
we ran out of milk and bread
the children are already asleep
""".strip().splitlines()
"""Speech that has nothing to do with the shop."""

PARAPHRASES = """
could you tell me which things i picked so far
i would love to have one of those lamps for my desk
get rid of the kettle i chose before
go ahead and finish my purchase
when is the stuff i bought going to be delivered
i changed my mind about the last order so stop it
do you guys have mugs of any color
let me talk with somebody who works there
""".strip().splitlines()
"""Meant for the shop but not in the words of its templates; a wrong action is worse than none."""

TUNING_OUT_OF_DOMAIN = """
the cat sleeps on the sofa all day long
remind me to call the dentist tomorrow
how do you make pancakes without eggs
our flight was delayed by three hours
they are building a new bridge over the river
what is the score of the game
open the garage door
my brother works at a bank in the city
i have a headache this morning
the museum is closed on sundays
can you lower the volume
he wrote a letter to the newspaper
the soup needs a little more salt
which bus goes to the university
tell me the news
we watched the sunset from the beach
somebody stole my bicycle
i am looking forward to the holidays
what is twelve times eleven
the prices have gone up again this year
take the second street on the left
she is taller than her older brother
do you believe in ghosts
start the washing machine
the garden looks beautiful in the spring
have you seen my glasses
it is getting dark outside
the teacher gave us a lot of homework
elephant
not on my watch
how was your weekend
the battery in the car is empty
read me the latest messages
they sell fresh fish at the market
i would rather stay at home
navigate to the nearest hospital
the paper said that the mayor resigned
shut the door please
an apple a day keeps the doctor away
wait for me at the corner
""".strip().splitlines()
"""For fitting the rejector only."""

TUNING_SENTENCES = 76
"""Random sentences of the templates for tuning."""
TUNING_SEED = 99
