import { letterGlyphs } from './labels.ts';

/** 'a cat', 'an owl'. Every name used here starts with a vowel letter exactly when it does with a vowel sound. */
export function withArticle(name: string): string {
  return `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`;
}

const numberWords = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

/** 'a cat', 'three cats'. */
export function countPhrase(count: number, name: string, plural: string): string {
  return count === 1 ? withArticle(name) : `${numberWords[count]} ${plural}`;
}

/** 'a', 'a and b', 'a, b and c'. */
export function listPhrase(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

export function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Common words of 2–5 letters, for pictures with something to read. */
const vocabulary = `
  AM AN AS AT BE BY DO GO HE HI IF IN IS IT ME MY NO OF OK ON OR SO TO UP US WE
  ACT AGE AIR ARM ART ASK BAD BAG BED BEE BIG BOX BOY BUS BUY CAR CAT COW CUP CUT DAY DOG DRY EAR EAT EGG END
  EYE FAR FEW FIX FLY FOX FUN GAS GET GOT GUM HAT HEN HOT ICE INK JAM JAR JET JOB JOY KEY KID LEG LET LIP LOG
  LOT LOW MAN MAP MIX MUD MUG NET NEW NUT OIL OLD ONE OUT OWL PAN PEN PET PIE PIG POT RED RUN SAD SEA SIT SIX
  SKY SUN TAX TEA TEN TIE TOP TOY TWO VAN WAX WAY WEB WET WIN YES ZOO
  ABLE AREA BACK BALL BANK BEAR BIRD BLUE BOAT BOOK CAKE CITY COLD COOK DARK DOOR DUCK EASY EXIT FAST FISH FIVE
  FOOD FOUR FREE FROG GAME GIFT GOLD GOOD HAND HELP HOME IDEA JUMP KING KITE LAKE LAMP LION LOVE MILK MOON NAME
  NEXT NINE OPEN PARK PLAY RAIN READ ROAD ROSE SALE SALT SHOP SLOW SNOW SOAP SONG STAR STOP TAXI TIME TREE VERY
  WALK WARM WIND WOLF WORD YEAR ZERO
  APPLE BEACH BLACK BREAD BROWN CHAIR CLOCK CLOUD DANCE DREAM EARTH EIGHT FIELD FRESH FRUIT GRAPE GREEN HAPPY
  HEART HELLO HORSE HOTEL HOUSE JUICE LEMON LIGHT LUCKY MONEY MOUSE MUSIC NIGHT OCEAN PAPER PARTY PHONE PIZZA
  PLANE PLANT POWER RIVER ROBOT SEVEN SHEEP SMALL SNAKE SPACE SPORT STONE SUGAR SWEET TABLE THREE TIGER TODAY
  TRAIN TRUCK WATER WHALE WHITE WORLD YOUNG ZEBRA`;

export const readableWords: readonly string[] = vocabulary
  .split(/\s+/)
  .filter((word) => word !== '' && word.split('').every((letter) => letterGlyphs.includes(letter)));
