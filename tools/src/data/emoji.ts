/** What is known of each emoji kind: the ground truth of every question about it. */
export type Category =
  | 'animal'
  | 'fruit'
  | 'vegetable'
  | 'food'
  | 'vehicle'
  | 'plant'
  | 'sky'
  | 'instrument'
  | 'tool'
  | 'toy'
  | 'clothing'
  | 'device'
  | 'furniture'
  | 'building';

/** Which question the fact answers: "What sound does a dog make?" … "What is a key for?" */
export type FactType = 'sound' | 'home' | 'eats' | 'grows' | 'taste' | 'travels' | 'seen' | 'use';

export interface EmojiKind {
  readonly emoji: string;
  readonly name: string;
  readonly plural: string;
  readonly chinese: string;
  readonly category: Category;
  /** As pictured, which for living things and food is also the usual colour. */
  readonly colour: string;
  /** Kinds of one group are taken for each other: where negatives come from. */
  readonly group: string;
  readonly fact: { readonly type: FactType; readonly text: string };
}

/** The category as an answer: "What kind of thing is a dog?" */
export const categoryPhrases: Readonly<Record<Category, string>> = {
  animal: 'an animal',
  fruit: 'a fruit',
  vegetable: 'a vegetable',
  food: 'a food',
  vehicle: 'a vehicle',
  plant: 'a plant',
  sky: 'something in the sky',
  instrument: 'an instrument',
  tool: 'a tool',
  toy: 'a toy',
  clothing: 'something to wear',
  device: 'a device',
  furniture: 'a piece of furniture',
  building: 'a building',
};

/** Categories whose members have a colour of their own; a car or a shirt can have any. */
export const colouredCategories: readonly Category[] = [
  'animal',
  'fruit',
  'vegetable',
  'food',
  'plant',
  'sky',
];

type Row = readonly [
  emoji: string,
  name: string,
  chinese: string,
  colour: string,
  group: string,
  fact: FactType,
  text: string,
];

const animals: readonly Row[] = [
  ['🐶', 'dog', '狗', 'brown', 'pets', 'sound', 'woof'],
  ['🐱', 'cat', '猫', 'orange', 'pets', 'sound', 'meow'],
  ['🐭', 'mouse', '老鼠', 'gray', 'pets', 'sound', 'squeak'],
  ['🐰', 'rabbit', '兔子', 'white', 'pets', 'eats', 'carrots'],
  ['🦊', 'fox', '狐狸', 'orange', 'wild', 'home', 'in the forest'],
  ['🐻', 'bear', '熊', 'brown', 'wild', 'eats', 'honey'],
  ['🐼', 'panda', '熊猫', 'white', 'wild', 'eats', 'bamboo'],
  ['🦁', 'lion', '狮子', 'yellow', 'wild', 'sound', 'roar'],
  ['🐮', 'cow', '牛', 'white', 'farm', 'sound', 'moo'],
  ['🐷', 'pig', '猪', 'pink', 'farm', 'sound', 'oink'],
  ['🐸', 'frog', '青蛙', 'green', 'pond', 'sound', 'croak'],
  ['🐵', 'monkey', '猴子', 'brown', 'wild', 'eats', 'bananas'],
  ['🐔', 'chicken', '鸡', 'white', 'birds', 'sound', 'cluck'],
  ['🐧', 'penguin', '企鹅', 'black', 'birds', 'home', 'on the ice'],
  ['🦆', 'duck', '鸭子', 'brown', 'birds', 'sound', 'quack'],
  ['🦉', 'owl', '猫头鹰', 'brown', 'birds', 'sound', 'hoot'],
  ['🐴', 'horse', '马', 'brown', 'farm', 'sound', 'neigh'],
  ['🐑', 'sheep', '羊', 'white', 'farm', 'sound', 'baa'],
  ['🐝', 'bee', '蜜蜂', 'yellow', 'bugs', 'sound', 'buzz'],
  ['🦋', 'butterfly', '蝴蝶', 'orange', 'bugs', 'home', 'in the garden'],
  ['🐌', 'snail', '蜗牛', 'brown', 'bugs', 'eats', 'leaves'],
  ['🐞', 'ladybug', '瓢虫', 'red', 'bugs', 'home', 'on a leaf'],
  ['🐢', 'turtle', '乌龟', 'green', 'pond', 'home', 'in a shell'],
  ['🐍', 'snake', '蛇', 'green', 'pond', 'sound', 'hiss'],
  ['🐙', 'octopus', '章鱼', 'pink', 'sea', 'home', 'in the sea'],
  ['🦀', 'crab', '螃蟹', 'red', 'sea', 'home', 'on the beach'],
  ['🐠', 'fish', '鱼', 'blue', 'sea', 'home', 'in the water'],
  ['🐳', 'whale', '鲸鱼', 'blue', 'sea', 'home', 'in the ocean'],
  ['🐘', 'elephant', '大象', 'gray', 'large', 'home', 'in Africa'],
  ['🐫', 'camel', '骆驼', 'brown', 'large', 'home', 'in the desert'],
];

const fruit: readonly Row[] = [
  ['🍎', 'apple', '苹果', 'red', 'redFruit', 'grows', 'on a tree'],
  ['🍌', 'banana', '香蕉', 'yellow', 'yellowFruit', 'grows', 'in the jungle'],
  ['🍓', 'strawberry', '草莓', 'red', 'redFruit', 'taste', 'sweet'],
  ['🍋', 'lemon', '柠檬', 'yellow', 'yellowFruit', 'taste', 'sour'],
  ['🍉', 'watermelon', '西瓜', 'red', 'redFruit', 'grows', 'in the field'],
  ['🍍', 'pineapple', '菠萝', 'yellow', 'yellowFruit', 'taste', 'sweet and sour'],
  ['🍒', 'cherry', '樱桃', 'red', 'redFruit', 'grows', 'on a tree'],
  ['🍑', 'peach', '桃子', 'orange', 'yellowFruit', 'taste', 'sweet'],
  ['🍐', 'pear', '梨', 'green', 'greenFruit', 'grows', 'on a tree'],
  ['🥝', 'kiwi', '猕猴桃', 'green', 'greenFruit', 'taste', 'sour'],
];

const vegetables: readonly Row[] = [
  ['🥕', 'carrot', '胡萝卜', 'orange', 'vegetables', 'grows', 'in the ground'],
  ['🍆', 'eggplant', '茄子', 'purple', 'vegetables', 'grows', 'in the garden'],
  ['🍄', 'mushroom', '蘑菇', 'red', 'vegetables', 'grows', 'in the forest'],
  ['🥑', 'avocado', '牛油果', 'green', 'greenFruit', 'grows', 'on a tree'],
  ['🌶️', 'pepper', '辣椒', 'red', 'vegetables', 'taste', 'hot'],
];

const food: readonly Row[] = [
  ['🍕', 'pizza', '披萨', 'yellow', 'savoury', 'taste', 'salty'],
  ['🍔', 'burger', '汉堡', 'brown', 'savoury', 'taste', 'salty'],
  ['🍩', 'donut', '甜甜圈', 'brown', 'sweets', 'taste', 'sweet'],
  ['🍪', 'cookie', '饼干', 'brown', 'sweets', 'taste', 'sweet'],
  ['🎂', 'cake', '蛋糕', 'white', 'sweets', 'use', 'birthdays'],
  ['🥚', 'egg', '鸡蛋', 'brown', 'savoury', 'use', 'breakfast'],
];

const vehicles: readonly Row[] = [
  ['🚗', 'car', '汽车', 'red', 'road', 'travels', 'on the road'],
  ['🚌', 'bus', '公交车', 'yellow', 'road', 'use', 'carrying people'],
  ['🚲', 'bicycle', '自行车', 'gray', 'cycles', 'travels', 'on the road'],
  ['✈️', 'plane', '飞机', 'blue', 'air', 'travels', 'in the air'],
  ['🚀', 'rocket', '火箭', 'gray', 'air', 'travels', 'in space'],
  ['⛵', 'boat', '船', 'red', 'cycles', 'travels', 'on the water'],
  ['🚂', 'train', '火车', 'black', 'road', 'travels', 'on rails'],
  ['🚁', 'helicopter', '直升机', 'yellow', 'air', 'travels', 'in the air'],
  ['🚜', 'tractor', '拖拉机', 'green', 'road', 'travels', 'in the field'],
  ['🛴', 'scooter', '滑板车', 'blue', 'cycles', 'travels', 'on the road'],
];

const plants: readonly Row[] = [
  ['🌵', 'cactus', '仙人掌', 'green', 'greens', 'grows', 'in the desert'],
  ['🌳', 'tree', '树', 'green', 'greens', 'grows', 'in the forest'],
  ['🌻', 'sunflower', '向日葵', 'yellow', 'flowers', 'grows', 'in the field'],
  ['🌹', 'rose', '玫瑰', 'red', 'flowers', 'grows', 'in the garden'],
];

const sky: readonly Row[] = [
  ['☀️', 'sun', '太阳', 'yellow', 'sky', 'seen', 'by day'],
  ['🌙', 'moon', '月亮', 'yellow', 'sky', 'seen', 'at night'],
  ['🌈', 'rainbow', '彩虹', 'many colours', 'sky', 'seen', 'after the rain'],
  ['☁️', 'cloud', '云', 'white', 'sky', 'seen', 'before the rain'],
];

const instruments: readonly Row[] = [
  ['🎸', 'guitar', '吉他', 'red', 'strings', 'use', 'playing music'],
  ['🥁', 'drum', '鼓', 'red', 'music', 'use', 'keeping the beat'],
  ['🎺', 'trumpet', '小号', 'yellow', 'music', 'use', 'playing music'],
  ['🎻', 'violin', '小提琴', 'brown', 'strings', 'use', 'playing music'],
];

const tools: readonly Row[] = [
  ['🔑', 'key', '钥匙', 'yellow', 'locks', 'use', 'opening doors'],
  ['🔒', 'lock', '锁', 'yellow', 'locks', 'use', 'closing doors'],
  ['🔨', 'hammer', '锤子', 'brown', 'handles', 'use', 'hitting nails'],
  ['✏️', 'pencil', '铅笔', 'yellow', 'handles', 'use', 'writing'],
  ['☂️', 'umbrella', '雨伞', 'purple', 'play', 'use', 'keeping dry'],
  ['🧲', 'magnet', '磁铁', 'red', 'handles', 'use', 'pulling iron'],
];

const toys: readonly Row[] = [
  ['⚽', 'ball', '球', 'white', 'play', 'use', 'playing games'],
  ['🎈', 'balloon', '气球', 'red', 'play', 'use', 'parties'],
  ['🪁', 'kite', '风筝', 'purple', 'play', 'use', 'flying in the wind'],
  ['🤖', 'robot', '机器人', 'gray', 'play', 'use', 'helping people'],
];

const clothing: readonly Row[] = [
  ['👑', 'crown', '皇冠', 'yellow', 'head', 'use', 'kings'],
  ['🎩', 'hat', '帽子', 'black', 'head', 'use', 'covering the head'],
  ['👕', 'shirt', '衬衫', 'blue', 'body', 'use', 'keeping warm'],
  ['👗', 'dress', '裙子', 'blue', 'body', 'use', 'parties'],
  ['👟', 'shoe', '鞋子', 'blue', 'body', 'use', 'walking'],
];

const devices: readonly Row[] = [
  ['📷', 'camera', '相机', 'black', 'screens', 'use', 'taking pictures'],
  ['📱', 'phone', '手机', 'black', 'screens', 'use', 'calling people'],
  ['💻', 'laptop', '电脑', 'gray', 'screens', 'use', 'writing'],
  ['⏰', 'clock', '钟', 'red', 'screens', 'use', 'telling the time'],
];

const furniture: readonly Row[] = [
  ['🪑', 'chair', '椅子', 'brown', 'rooms', 'use', 'sitting'],
  ['🛏️', 'bed', '床', 'blue', 'rooms', 'use', 'sleeping'],
];

const buildings: readonly Row[] = [
  ['🏠', 'house', '房子', 'white', 'houses', 'use', 'living'],
  ['🏰', 'castle', '城堡', 'gray', 'houses', 'use', 'kings'],
];

const irregularPlurals: Readonly<Record<string, string>> = {
  mouse: 'mice',
  fish: 'fish',
  sheep: 'sheep',
};

function pluralOf(name: string): string {
  if (name in irregularPlurals) return irregularPlurals[name];
  if (/(?:s|x|ch|sh|toma)$/.test(name)) return `${name}es`;
  if (/[^aeiou]y$/.test(name)) return `${name.slice(0, -1)}ies`;
  return `${name}s`;
}

const rows: readonly (readonly [Category, readonly Row[]])[] = [
  ['animal', animals],
  ['fruit', fruit],
  ['vegetable', vegetables],
  ['food', food],
  ['vehicle', vehicles],
  ['plant', plants],
  ['sky', sky],
  ['instrument', instruments],
  ['tool', tools],
  ['toy', toys],
  ['clothing', clothing],
  ['device', devices],
  ['furniture', furniture],
  ['building', buildings],
];

/** The 96 kinds, in a fixed order: their patch classes follow it (labels.ts). */
export const emojiKinds: readonly EmojiKind[] = rows.flatMap(([category, list]) =>
  list.map(([emoji, name, chinese, colour, group, type, text]) => ({
    emoji,
    name,
    plural: pluralOf(name),
    chinese,
    category,
    colour,
    group,
    fact: { type, text },
  })),
);
