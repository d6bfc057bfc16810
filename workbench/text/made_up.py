"""What speech recognizers write of silence and noise ("Thanks for watching!"), from the subtitles they learnt from.

People say some of it too, so the words alone decide nothing: the model's own doubt does, or a voice too short or too
faint for them.
"""

from __future__ import annotations

import re

from workbench.text.turn_words import UNSPACED, simplify

DOUBTFUL = 0.35
"""A confidence below it is doubt. Of a clear "Thank you." models give 0.6 and more."""
VOICE = 0.65
"""The mean probability of the VAD over what it took for a voice: noise that passes gives less, speech more."""
MS_PER_LETTER, MS_PER_SIGN = 22.0, 60.0
"""The least of voice that a letter takes, and a sign of a script without spaces: a third of what speech usually has."""
PHRASES = frozenset(
    """
    thank you|thanks|thank you very much|thank you so much|thanks for watching|thank you for watching|bye|bye bye|you|so
    the end|thank you so much for watching|please subscribe|like and subscribe|please like and subscribe
    see you in the next video|see you next time
    dont forget to subscribe|subscribe to my channel|ill see you next time|well be right back
    danke|vielen dank|vielen dank fürs zuschauen|danke fürs zuschauen|vielen dank für die aufmerksamkeit
    bis zum nächsten mal|das wars für heute|tschüss
    merci|merci beaucoup|merci davoir regardé cette vidéo|merci davoir regardé|abonnezvous|à bientôt|merci à tous
    gracias|muchas gracias|gracias por ver|gracias por ver el video|gracias por ver el vídeo|suscríbete|hasta la próxima
    grazie|grazie a tutti|grazie per la visione|grazie per aver guardato il video|iscrivetevi al canale
    obrigado|obrigada|muito obrigado|obrigado por assistir|inscrevase no canal|até a próxima
    bedankt|bedankt voor het kijken|dank je wel|tot de volgende keer
    tack|tack för att ni tittade|tak|takk for at du så på|kiitos
    dziękuję|dziękuję za uwagę|dziękuję za obejrzenie|dziękuję bardzo|děkuji|děkuji za pozornost
    спасибо|спасибо за просмотр|продолжение следует|спасибо за внимание|подписывайтесь на канал|дякую|дякую за перегляд
    teşekkürler|izlediğiniz için teşekkürler|izlediğiniz için teşekkür ederim|abone olmayı unutmayın
    شكرا|شكرا للمشاهدة|شكرا لكم|اشتركوا في القناة|תודה|תודה שצפיתם|ευχαριστώ|धन्यवाद
    ご視聴ありがとうございました|ありがとうございました|ありがとうございます|おやすみなさい|チャンネル登録お願いします
    谢谢|谢谢大家|谢谢观看|谢谢收看|感谢观看|謝謝|謝謝觀看|謝謝大家|请不吝点赞 订阅 转发 打赏支持明镜与点点栏目
    감사합니다|시청해주셔서 감사합니다|고맙습니다|구독과 좋아요 부탁드립니다
    """.replace("\n", "|").split("|")
)
CREDITS = re.compile(
    r"\b(?:subtitle[sd]?|captions?|captioned|transcri(?:bed|ption)|translat(?:ed|ion)) (?:by|provided)\b|amara ?org|"
    r"untertitel|sous titr(?:es|age)|soustitr(?:es|age)|subtítulos|subtitulado por|sottotitoli|legendas (?:por|pela)|"
    r"ondertitel(?:s|ing|d)|undertekster|textning|napisy|titulky|субтитры|редактор субтитров|altyazı|字幕|자막|ترجمة"
    r"|www\w+(?:com|org)"
)
"""What subtitles say of themselves."""


def is_made_up(text: str, confidence: float | None, voiced_ms: float, probability: float) -> bool:
    """Decide whether a transcript was made up, of no voice.

    `voiced_ms` is how long the VAD heard a voice (0 where none listened), `probability` (0…1) its mean there;
    `confidence` is the model's own, None without.
    """
    sentences = [simplify(part) for part in re.split(r"[.!?,…]+(?=\s|$)|[。！？、，\n]+", text)]
    phrases = [sentence for sentence in sentences if sentence]
    if not phrases or not (
        CREDITS.search(simplify(text)) or all(sentence in _SIMPLE for sentence in phrases)
    ):
        return False
    if confidence is not None and confidence < DOUBTFUL:
        return True
    signs = len(re.findall(f"[{UNSPACED}]", text))
    letters = len(re.findall(r"[^\W_]", text)) - signs
    least_ms = letters * MS_PER_LETTER + signs * MS_PER_SIGN
    return 0 < voiced_ms < least_ms or (voiced_ms > 0 and probability < VOICE)


_SIMPLE = frozenset(filter(None, (simplify(phrase) for phrase in PHRASES)))
