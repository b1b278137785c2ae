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
the fire brigade arrived within minutes
put the kids to bed before nine
wake me up at quarter past six
my grandfather used to repair clocks
is it going to snow tomorrow
the river froze over last january
play the next song
what is the population of brazil
she passed her driving test on friday
the wifi is not working again
could you turn down the music
we are having fish for dinner
our neighbours have moved to canada
how tall is the eiffel tower
the chemistry lecture was cancelled
he broke his arm while skating
send a message to my wife
translate good morning into french
the shop around the corner sells bread
i have never been to africa
why is the sky blue
the president gave a speech on television
dim the lights to fifty percent
it was a dark and stormy night
there are three eggs left in the fridge
who wrote romeo and juliet
the plane landed safely in the fog
take your medicine after breakfast
i am allergic to peanuts
the bank closes at five on weekdays
show me the way to the stadium
what is the square root of eighty one
they got married in a little church
the printer has run out of paper
my tooth hurts when i drink something cold
add a meeting with john to my calendar
the baby cried all night long
give me the latest football results
how many people live in india
the judge sentenced him to two years
an old man sat by the window reading
can dogs eat chocolate
the rope broke under the heavy load
my favourite colour is green
we need to talk about your exam results
stop the alarm
turn off the television
what year did the war end
i lost my keys somewhere in the park
the actors took a bow
her cousin is an engineer in germany
the ship sailed at dawn
never trust a smiling crocodile
he is the fastest runner in the school
open the window a little
do you speak spanish
the tea is too hot to drink
one day we will travel around the world
let's go to the beach this weekend
please be quiet in the library
who is the prime minister
how do i get to the airport from here
it costs nothing to be polite
the farmer sold his old tractor
i would like to hear some classical music
traffic is terrible on the motorway
is the swimming pool open today
my shoes are wet
the kitchen smells of garlic
remember to water the plants
three thousand people attended the concert
there is nothing good on tonight
call the police
what is the meaning of life
the hotel had a view of the sea
snow covered the tops of the hills
he paid for the drinks and left
are you coming to the party on saturday
the engine makes a strange noise
i can't find my passport
the lesson begins at ten o'clock sharp
my father grew up on a farm
do fish sleep at night
the company hired forty new workers
that film was far too long
next stop central station
the lights went out during the storm
have a nice day
happy birthday
see you next week
what's up
never mind the weather
potato
yesterday
telephone
not really
i don't know
of course not
just a minute
ouch
wonderful
the end
somewhere else
i guess so
excuse me
who is there
come on in
wait a second
how old are you
where are you from
are you a robot
what is your name
sing me a song
tell me a joke
do you love me
you are funny
that is not true
i feel sick
leave me alone
give me a break
mind your own business
let me think about it
he's on the other line
hang on someone is at the door
sorry i was talking to my wife
not you i was talking to the dog
the volume is too high
mom where are my socks
can you hear me
it's raining cats and dogs
let me call you back in ten minutes
i will be home around eight
did you feed the cat
put on your coat it is cold
close the door behind you
we should leave now or we will be late
did you watch the match yesterday
i am stuck in traffic
they say it will be sunny on sunday
the kids want pizza for dinner
remind me to buy milk on the way home
what is the exchange rate of the euro
how far away is the nearest gas station
convert ten miles to kilometers
start a new game
book a flight to london for next monday
reserve a hotel room in paris
what movies are playing tonight
order me a taxi
i want to cancel my gym membership
i need to see a doctor
my account has been locked
i forgot my password
pay my electricity bill
transfer fifty dollars to my savings
what is my bank balance
when does the pharmacy close
how much does a ticket to rome cost
is there any news about the election
check the weather in new york
where is the nearest subway station
show me pictures of elephants
what is on my schedule today
find a good italian restaurant
are there any good books about history
can i speak french with you
i'd like to learn how to swim
tell me about the roman empire
do you have a boyfriend
what do you think about politics
i want to go home
i'm ready to leave
help the old lady across the street
thank god it is friday
say hello to your parents from me
yes and no it depends
no one knows what happened there
the red car belongs to my boss
two birds were sitting on the fence
five minutes later the phone rang
a black cat crossed the road
the desk in the corner is broken
the kettle boiled over
he left his wallet in the taxi
the garden gate was left open
she poured the coffee and sat down
the lamp fell off the table
""".strip().splitlines()
"""For fitting the rejector only. Many sound like the shop's sentences, which makes it harder than
the list above."""

TUNING_SENTENCES = 240
"""Random sentences of the templates for tuning."""
TUNING_SEED = 99
